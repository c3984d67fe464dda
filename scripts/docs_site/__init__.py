"""The documentation site: pages of this repository, staged for Zensical and built in English and Chinese.

- `pages`: which files are pages, where they stand in the site, and their Chinese versions
- `links`: relative links of a page, rewritten to the site
- `github_markdown`: what GitHub's Markdown allows and Python-Markdown does not
- `navigation`: `nav` of zensical.toml, with its patterns replaced by pages
- `llms`: llms.txt and llms-full.txt
- `build`: stages and builds both languages
"""
