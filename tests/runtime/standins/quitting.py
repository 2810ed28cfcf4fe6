"""A child that ends as soon as it is started."""

raise SystemExit(3)
