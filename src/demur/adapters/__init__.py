"""Where demur meets a web framework. An adapter translates; the layer beneath decides."""
