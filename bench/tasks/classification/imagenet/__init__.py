"""ImageNet, or a part of it: its files, transforms and test protocols (Section 3.4)."""
