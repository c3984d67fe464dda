"""Reading any file in ranges: what a source holds, how it is cut into units of work, and the documents of each.

survey         the files of all sources, their formats, encodings and hashes, and what is left out
kinds          the format and the compression of a file
unpacking      the step before reading: indexes of large files, and blocks of those that cannot be read in parts
archives       compressed files, archives and files in other encodings, read from start to end
borders        where a file can be cut
cutting        units of work: groups of small files, ranges of large ones
readers        the documents of a portion of a file, as records
contents       the passages of a file by format: lines, rows, pages, blocks of text
ranges         the lines and blocks of text that begin in a range of bytes
stored         opens a file of the survey
remote         files on S3, HTTP and other servers, through fsspec
html           the main text of a page
warc           the pages in web archives
manual_pages   manual pages as plain text
markup         reStructuredText and catalogs of messages as plain text
source_tree    language and license of code
poison         limits, and what is left out and reported
"""
