"""Entry points and controllers: the only package that knows both engines and widgets."""
