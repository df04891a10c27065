"""Has many workers train on a cluster: as a job of Kubeflow Trainer that is watched to its end."""
