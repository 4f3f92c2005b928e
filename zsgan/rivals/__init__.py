"""What other papers add to a step: layer selection, consistency losses, few-shot losses, crops."""
