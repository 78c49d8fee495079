"""Images of classes: CIFAR-10 in memory (Section 4.2), ImageNet on disk (Section 3.4)."""
