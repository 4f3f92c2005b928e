"""From runs or images to measurements: the truth, the judges and the bench that they stand on."""
