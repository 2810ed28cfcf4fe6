"""What the backend's tables went through, oldest first. A revision that was released is never changed."""
