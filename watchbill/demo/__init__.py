"""The demo: a sample project, its backlog, and a scripted model behind a real server. It says that it is scripted."""
