"""RARO: a language model learns to reason from an expert's answers alone.

What is wanted is hidden, as in every game of tacit, and shows in demonstrations only: a question and an expert's
final answer. A policy answers, a critic says which of two answers is the expert's, and both learn from that. Cai and
Provilkov 2025, "Escaping the Verifier: Learning to Reason via Demonstrations", arXiv 2511.21667.

Read in this order: `game` (who earns what), `exact` (what that leads to), `verdicts`, `replay`, `advantages`, `watch`,
`rounds` (one step of all of it). None of these knows a framework; `feature_critic` and `feature_policy` are players to
try them with. Language models come in by `models` (a Hugging Face model that speaks), `players` (it as policy or
critic), `learner` (one step of gradient) and `training` (the loop and its baselines): the extra `language`.
"""
