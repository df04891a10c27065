"""Tables of any length from a served model: rows stream over gRPC into a Parquet or CSV file."""

from serving.sampling.errors import SamplingError
from serving.sampling.sampling import Sampled, sample_table

__all__ = ["Sampled", "SamplingError", "sample_table"]
