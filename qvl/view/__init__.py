"""The page that shows streams: `qvl view`.

store, stream     the records of a file by their number, while the file is still being read
scan, queries     which of them pass a filter and contain a text
rows, shown       what the page shows: a line in the list, and one record
pictures, tokens  images, frames of videos; the texts of tokens
bundle, page/     the page itself, in JavaScript: one script of its modules
server, export    the page over HTTP on this machine; the page as one file
"""
