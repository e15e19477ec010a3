"""How requests let further models work beside the one they name: advisors, fallbacks, tools with a model.

What these use is billed under their own names. So they are asked for as the model itself is: where a resource
declares its models, they must be among them. Otherwise a client could have another model's work unbilled.
Sources: Anthropic's pages "Advisor tool" and "Refusals and fallback"; the OpenAI API reference (the tool
`image_generation`); OpenRouter's and Perplexity's pages "Model fallbacks"; LiteLLM's page "Fallbacks".
"""

from phoebe_addon.apis.family import Path, at

FURTHER_MODEL_PLACES: tuple[Path, ...] = (
    at("tools.*.model"),  # Anthropic's advisors, OpenAI's images
    at("fallbacks.*.model"),  # Anthropic
    at("fallbacks.*"),  # LiteLLM: names
    at("models.*"),  # OpenRouter, Perplexity: names
)
"""Where their names stand. What is no text names none."""
