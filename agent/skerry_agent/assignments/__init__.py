"""What a hub says, on its way in: judged, then kept."""
