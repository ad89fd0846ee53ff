"""Exact inference on a mesh: the plane by Gaussian convolutions, the line by quadrature."""

__all__: list[str] = []
