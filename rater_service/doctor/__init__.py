"""The doctor: looks at an installation from outside, as its parts see each other, and says what is wrong.

`checks` lists what is looked at; `examination` runs it; `findings` are what comes out. It changes nothing,
but for a canary that it is asked to send.
"""
