"""Copies the registry's runs into MLflow, and its versions into Kubeflow's model registry."""
