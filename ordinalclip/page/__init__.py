"""report.html: a run told on one page that needs nothing but a browser."""
