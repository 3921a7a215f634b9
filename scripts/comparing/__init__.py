#!/usr/bin/env python3
# Runs proxies through scenarios and says what came of it. In reading order: `scenario` (what is asked), `machine`, `processes`,
# `configurations` and `lanes` (who is asked), `providers` (whom they ask), `measure` (one run), `guards` (whether it counts),
# `figures` (what follows from all runs), `table`, `words` and `page` (how it is said), `main` (the command).
