"""The webhook connector: what arrives is POSTed, signed, to the agency's own address."""
