"""The algomancy system as a library: data sources, ETL, and the bundled profiles."""
