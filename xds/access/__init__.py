"""GATE 2: what may the caller see and do?"""
