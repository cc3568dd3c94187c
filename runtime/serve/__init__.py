"""`gantool serve`: images over HTTP. Only this room imports Starlette and uvicorn (the extra `serve`)."""
