"""How the image of the steps is built, and an engine for machines that have none."""
