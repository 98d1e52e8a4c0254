"""Files that survive a power cut and know whether they are whole."""
