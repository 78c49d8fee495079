"""Sweeps on Slurm, through submitit."""
