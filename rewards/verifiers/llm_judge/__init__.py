"""The LLM judge: a model behind an OpenAI-compatible endpoint scores an answer by a rubric."""
