"""The truth side: terrain, pictures and, later, trajectories and sensors of known truth.

Nothing on the estimating side imports this room, and it shares no prediction code with it.
"""
