"""What operators decide and do: suspending senders, sending dead letters again, who may do what."""
