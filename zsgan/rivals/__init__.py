"""Components from other papers: layer selection, consistency, prompts, patches, crops, few-shot losses."""
