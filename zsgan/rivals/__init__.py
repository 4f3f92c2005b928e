"""Components from other papers: layer selection, consistency losses, few-shot losses, crops."""
