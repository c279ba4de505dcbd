"""Estimates under other assumptions."""
