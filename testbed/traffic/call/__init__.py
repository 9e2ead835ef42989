"""A video call between two headless Chromiums: WebRTC with its own congestion controller."""
