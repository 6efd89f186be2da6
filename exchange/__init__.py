"""A document exchange backbone: signed statements on Kafka, delivered once, traced and audited."""
