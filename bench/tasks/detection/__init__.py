"""Object detection by Faster R-CNN over a net (Appendix A and B)."""
