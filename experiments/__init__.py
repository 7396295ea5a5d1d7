"""Scripts that evaluate or show an archived model."""
