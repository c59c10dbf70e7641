"""Models behind the OpenAI protocol. Must never know Qt."""
