"""What a careful statistician would say of a fit."""
