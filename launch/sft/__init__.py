"""Supervised fine-tuning: `reprise sft`."""
