"""What if: the recorded history, decided again under changed rules. Pure, as all of the domain.

`scenario` says what is changed; `replay` decides one member's recorded commands again under it.
"""
