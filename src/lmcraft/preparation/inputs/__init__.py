"""Reading any file in ranges: what a source holds, how it is cut into units of work, and the documents of each.

survey         the files of all sources, their formats, encodings and hashes, and what is left out
kinds          the format and the compression of a file
cutting        units of work: groups of small files, ranges of large ones
readers        the documents of a portion of a file, as records
contents       the passages of a file by format: lines, rows, pages, blocks of text
ranges         the lines and blocks of text that begin in a range of bytes
stored         opens a file of the survey
source_tree    language and license of code
poison         limits, and what is left out and reported
"""
