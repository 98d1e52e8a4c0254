"""Archives: fetched with resume, verified, unpacked once."""
