"""Serving: a trained model registered in MLflow, and the demo's web page.

Imports `exporting` for the registered folder, `inference` to predict, `tracking` to find a run in MLflow.
A new HTTP endpoint is added in `demo_app`; a column of MLflow's answers in `inference.predictions` and `register`.
"""
