"""What is known of the contract: the answers of each version of Milvus, and whether they were run or read.

``make contract`` asks the servers that can be started here, and the stand-in in every dialect: their answers have to be those
of the files in ``answers``, to the letter of codes and fields.
"""
