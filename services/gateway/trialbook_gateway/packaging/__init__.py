"""One run as a package: everything that is known of it in one archive that can be checked without the service."""
