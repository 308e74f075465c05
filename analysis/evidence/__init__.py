"""The paper's claims on pictures and towers that are here: what is run, and the page that it becomes."""
