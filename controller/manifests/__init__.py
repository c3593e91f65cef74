"""What a cluster needs before Meltemi runs in it, as objects. Pure, and in stable order."""
