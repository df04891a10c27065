"""The one place that names the image of every step; `loomline compile --image` overrides it."""

IMAGE = "loomline/component-python:0.1.0"
