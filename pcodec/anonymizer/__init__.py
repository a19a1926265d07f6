"""Another voice, same words."""
