"""The live page: a game of many seeds that is played, changed and watched in the browser."""
