"""Results on one page: the HTML report, the graph of a model, the explorer."""

__all__: list[str] = []
