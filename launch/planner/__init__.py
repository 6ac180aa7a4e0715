"""`reprise plan`: what a recipe's learner ranks need, before they are started."""
